ln -s gone link

ln -s y link

chmod 777 data data/sub

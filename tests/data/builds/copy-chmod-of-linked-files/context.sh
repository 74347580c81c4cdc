ln -s f t/link

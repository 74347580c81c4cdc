ln -s other link
ln -s link other

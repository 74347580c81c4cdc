ln -s /a abs
ln -s /d absdir

ln -s f t/relative
ln -s /etc/passwd t/absolute
ln -s gone t/dangling
ln -s ../../../../etc/shadow t/escaping
ln -s . t/loop

mkdir d
touch d/g
chown -R 12:34 f d

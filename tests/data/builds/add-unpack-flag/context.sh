mkdir t && echo x > t/x && touch -d 2001-02-03T04:05:06Z t/x t && tar --numeric-owner --owner=5 --group=6 --sort=name -cf t.tar t && rm -r t && touch -d 2002-01-01T00:00:00Z t.tar

for m in 600 777 4755 000; do echo $m > f$m; chmod $m f$m; touch -d '2002-03-04 05:06:07' f$m; done
touch -d '1999-12-31 23:59:59.987654321' frac
touch -d '1970-01-01 00:00:00' epoch

mkdir t
for n in $(seq 60); do mkdir -p t/$((n % 7)); echo $n > t/$((n % 7))/$n; done

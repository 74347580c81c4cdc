# Says something every second until it is told to stop.
trap 'echo "worker stops"; exit 0' TERM
count=0
while true; do
    count=$((count + 1))
    echo "worker tick $count"
    sleep 1 &
    wait $!
done

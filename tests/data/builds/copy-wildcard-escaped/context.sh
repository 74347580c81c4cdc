echo 0 > 'arr[0].txt'
echo x > arr00.txt

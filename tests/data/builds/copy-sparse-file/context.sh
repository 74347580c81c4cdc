truncate -s 3M sparse
printf x | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none

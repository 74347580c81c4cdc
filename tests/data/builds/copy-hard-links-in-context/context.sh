ln t/a t/b
mkdir t/d
ln t/a t/d/c

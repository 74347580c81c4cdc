long=$(printf 'x%.0s' $(seq 200))
mkdir -p t/$long/$long
echo deep > t/$long/$long/$long
ln -s $long/$long/$long t/link

mkdir t
cd t
touch -- '-dash' 'quo"te' "apo'strophe" 'back\slash' 'star*' 'que?' '$dollar' 'new
line' 'tab	tab' ' space ' 'ümläut' '日本' '...' '#hash' '~tilde' 'a:b' 'percent%41' "$(printf 'latin\351')"

touch 'lit*eral'

touch 'st*r' stxr '!bang' bang

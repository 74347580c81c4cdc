touch a+b aab '(c)' c d.e dxe '$f' f '{g}' g

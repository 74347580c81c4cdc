ln -s x t/new-link
ln -s x t/file-link

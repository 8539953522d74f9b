# Whenever it looks, every line is whole.
grep -qx one database.txt && ! grep -qvx -e one -e two database.txt

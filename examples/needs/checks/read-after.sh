grep -qx two database.txt

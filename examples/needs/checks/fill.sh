# muster: lock examples-needs-db
echo one > database.txt

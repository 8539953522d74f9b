# Alone with the database, so that nobody reads a half-written line.
# muster: lock examples-needs-db
printf 'tw' >> database.txt
sleep 0.2
echo o >> database.txt

create database if not exists wordpress;
create user if not exists wordpress@localhost;
grant all on wordpress.* to wordpress@localhost;

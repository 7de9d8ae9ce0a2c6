create database if not exists pack;
create user if not exists wolf@'%';
grant all on pack.* to wolf@'%';

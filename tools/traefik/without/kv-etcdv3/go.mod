module github.com/kvtools/etcdv3

go 1.24

module github.com/kvtools/consul

go 1.24

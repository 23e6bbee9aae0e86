module github.com/kvtools/zookeeper

go 1.24

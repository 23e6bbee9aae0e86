module github.com/stealthrocket/wazergo

go 1.24

require (
	github.com/tetratelabs/wazero v1.8.0
)

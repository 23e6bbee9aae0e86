module github.com/stealthrocket/wasi-go

go 1.24

require (
	github.com/tetratelabs/wazero v1.8.0
	github.com/stealthrocket/wazergo v0.19.1
)

module github.com/http-wasm/http-wasm-host-go

go 1.24

require (
	github.com/tetratelabs/wazero v1.8.0
)

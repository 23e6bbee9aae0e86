package testbed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"
)

// Main builds Serin, runs a package's tests, and ends the process. It is for TestMain; serin gets the program's path.
func Main(m *testing.M, serin *string) {
	FromOutside()
	os.Exit(withSerin(m, serin))
}

// FromOutside makes this process run its code on one processor at a time. Where it only sends requests, answers them
// and watches other programs, each request then costs a third less processor time: see [Command.Single]. Programs that
// it starts may use all processors.
func FromOutside() { runtime.GOMAXPROCS(1) }

func withSerin(m *testing.M, serin *string) int {
	dir, err := os.MkdirTemp("", "serin-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the program:", err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if *serin, err = Serin(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Call sends a request with a JSON body (nil for none) and a bearer token, and decodes a successful answer into out unless
// that is nil. It returns the status and the answer's text; the status is 0 if there was no answer, or none that could be
// decoded, and the text is then the error.
func Call(client *http.Client, method, url, token string, body, out any) (status int, text string) {
	var send bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&send).Encode(body); err != nil {
			return 0, err.Error()
		}
	}
	req, err := http.NewRequest(method, url, &send) //nolint:noctx // the client has a timeout
	if err != nil {
		return 0, err.Error()
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(answer, out); err != nil {
			return 0, err.Error() + ": " + string(answer)
		}
	}
	return res.StatusCode, string(answer)
}

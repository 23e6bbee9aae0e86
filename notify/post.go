package notify

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// post sends a request and returns the status of the answer. The error is nil for 2xx and shows no secret; it is a
// *RetryError if the answer says when to try again.
func (r redactor) post(client *http.Client, req *http.Request) (status int, err error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, errors.New(r.text(redact(err)))
	}
	defer res.Body.Close()                                       //nolint:errcheck // only read
	text, _ := io.ReadAll(io.LimitReader(res.Body, answerLimit)) //nolint:errcheck // only shown to people
	if res.StatusCode/100 == 2 {
		return res.StatusCode, nil
	}
	err = errors.New(r.text(fmt.Errorf("%s: %s", res.Status, text)))
	if s, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && s > 0 {
		err = &RetryError{After: time.Duration(s) * time.Second, Err: err}
	}
	return res.StatusCode, err
}

package analysis

import "net/url"

// ShownAddress is the address of a source of metrics in the form for logs, errors and the store: without user and
// password, and without its query, which may contain a token. An address that cannot be parsed is not shown at all.
func ShownAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is not shown"
	}
	return ShownURL(u)
}

// ShownURL is [ShownAddress] for a parsed address.
func ShownURL(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	if shown.RawQuery != "" {
		shown.RawQuery = "***"
	}
	return shown.String()
}

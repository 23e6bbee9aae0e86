package analysis

import "net/url"

// ShownAddress is the address of a source of metrics as logs, errors and the store may have it: without user and password,
// and without its query, in which a token may stand. An address that cannot be parsed is not shown at all.
func ShownAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is not shown"
	}
	return ShownURL(u)
}

// ShownURL is [ShownAddress] of an address that has been parsed.
func ShownURL(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	if shown.RawQuery != "" {
		shown.RawQuery = "***"
	}
	return shown.String()
}

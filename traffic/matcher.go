package traffic

// Matcher picks the users of a cohort. Exactly one field is set.
type Matcher struct {
	Header   *Header   `json:"header,omitempty"`
	Cookie   *Cookie   `json:"cookie,omitempty"`
	Query    *Query    `json:"query,omitempty"`
	ClientIP string    `json:"clientIP,omitempty"` // a CIDR or an address
	All      []Matcher `json:"all,omitempty"`
	Any      []Matcher `json:"any,omitempty"`
	Not      *Matcher  `json:"not,omitempty"`
}

// Header matches a request header by value or, if Regexp is set, by regular expression (RE2).
type Header struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Regexp string `json:"regexp,omitempty"`
}

// Cookie matches a cookie by value, among others in the same Cookie header.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Query matches a query parameter by value.
type Query struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

package traefik_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
	"github.com/serindev/serin/traffic/traefik"
)

func header(name, value string) traffic.Matcher {
	return traffic.Matcher{Header: &traffic.Header{Name: name, Value: value}}
}

func cookie(name, value string) traffic.Matcher {
	return traffic.Matcher{Cookie: &traffic.Cookie{Name: name, Value: value}}
}

func TestCohortRule(t *testing.T) {
	const match = "Header(`A`, `1`)"
	got, err := traefik.CohortRule(" Host(`a`) || Host(`b`) ", header("A", "1"))
	require.NoError(t, err)
	require.Equal(t, "(Host(`a`) || Host(`b`)) && ("+match+")", got, "the cohort is only ever a part of the route")
	back, ok := traefik.LaneMatch("Host(`a`) || Host(`b`)", got)
	require.True(t, ok)
	require.Equal(t, match, back)
	_, ok = traefik.LaneMatch("Host(`b`)", got)
	require.False(t, ok)

	for name, rule := range map[string]string{
		"no rule":                                "",
		"a rule that does not parse":             "Host(`a`",
		"a rule that closes our parenthesis":     "Host(`a`)) || (Host(`b`)",
		"a rule whose comment swallows the rest": "Host(`a`) // for now",
		"a rule whose comment is open":           "Host(`a`) /*",
		"two lines":                              "Host(`a`)\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := traefik.CohortRule(rule, header("A", "1"))
			if name == "two lines" { // spaces around it do not matter
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Empty(t, got)
		})
	}
	_, err = traefik.CohortRule("Host(`a`)", traffic.Matcher{})
	require.ErrorContains(t, err, "exactly one")
}

func TestAPreviewCannotHaveTheUsersHost(t *testing.T) {
	const host = "shop.example.com"
	beta := header("X-Preview", "yes")
	for name, c := range map[string]struct {
		rule    string
		preview traffic.Preview
		want    string // empty: it is refused
	}{
		"a host of its own":                 {"Host(`shop.example.com`)", traffic.Preview{Host: "preview.example.com"}, "Host(`preview.example.com`)"},
		"the users' host":                   {"Host(`shop.example.com`)", traffic.Preview{Host: host}, ""},
		"one of the users' hosts":           {"(Host(`a`) || Host(\"Shop.Example.com\")) && PathPrefix(`/cart`)", traffic.Preview{Host: host}, ""},
		"some requests of the users' host":  {"Host(`shop.example.com`)", traffic.Preview{Host: host, Match: &beta}, ""},
		"some of the users' requests":       {"Host(`shop.example.com`)", traffic.Preview{Match: &beta}, "(Host(`shop.example.com`)) && (Header(`X-Preview`, `yes`))"},
		"a host that the users' rule omits": {"PathPrefix(`/`) && !Host(`shop.example.com`)", traffic.Preview{Host: host}, "Host(`shop.example.com`)"},
		"users of every host":               {"PathPrefix(`/`)", traffic.Preview{Host: host}, "Host(`shop.example.com`)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := traefik.PreviewRule(c.rule, c.preview)
			require.Equal(t, c.want, got)
			if c.want == "" {
				require.ErrorContains(t, err, "preview: shop.example.com is the users' own host, by the rule ")
				return
			}
			require.NoError(t, err)
		})
	}
	_, err := traefik.PreviewRule("Host(`a`)", traffic.Preview{})
	require.ErrorContains(t, err, "expected a host")
}

// FuzzRule tries to break out of a rule with values: the rule always has the structure of the matcher and contains the
// values unchanged, according to the parser that Traefik itself uses.
func FuzzRule(f *testing.F) {
	for _, s := range []string{"beta", "`", "\"", "\\", "`) || Host(`x", "\") || Host(\"x", "a`\"\\`", "{{ env `HOME` }}", "\ufeff", "//", "/*", "\u2028"} {
		f.Add("X-A", s)
		f.Add(s, "1")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		h, c := header(name, value), cookie(name, value)
		q := traffic.Matcher{Query: &traffic.Query{Name: name, Value: value}}
		for _, leaf := range []traffic.Matcher{h, c, q} {
			m := traffic.Matcher{All: []traffic.Matcher{{Not: &leaf}, header("B", "2")}}
			rule, err := traefik.CohortRule("Host(`a`) || Host(`b`)", m)
			if err != nil {
				require.Empty(t, rule)
				require.NotEmpty(t, m.Problems(), "a matcher without problems has a rule")
				continue
			}
			got := leafOf(t, rule)
			if leaf.Cookie == nil {
				require.Equal(t, []string{name, value}, got)
				continue
			}
			re := regexp.MustCompile(got[1])
			require.True(t, re.MatchString("a=b; "+name+"="+value+"; c=d"))
			require.True(t, re.MatchString(name+"="+value))
			require.False(t, re.MatchString("x"+name+"="+value))
			require.False(t, re.MatchString(name+"="+value+"x"))
		}
	})
}

// leafOf asserts the structure (Host || Host) && (!leaf && Header) and returns the leaf's values.
func leafOf(t *testing.T, rule string) []string {
	t.Helper()
	binary := func(e ast.Expr, op token.Token) *ast.BinaryExpr {
		if p, ok := e.(*ast.ParenExpr); ok {
			e = p.X
		}
		require.IsType(t, &ast.BinaryExpr{}, e, rule)
		require.Equal(t, op, e.(*ast.BinaryExpr).Op, rule)
		return e.(*ast.BinaryExpr)
	}
	expr, err := parser.ParseExpr(rule)
	require.NoError(t, err, rule)
	top := binary(expr, token.LAND)
	binary(top.X, token.LOR)
	cohort := binary(top.Y, token.LAND)
	require.Equal(t, []string{"B", "2"}, values(t, cohort.Y))
	require.IsType(t, &ast.UnaryExpr{}, cohort.X, rule)
	not := cohort.X.(*ast.UnaryExpr)
	require.Equal(t, token.NOT, not.Op)
	return values(t, not.X)
}

func values(t *testing.T, e ast.Expr) []string {
	t.Helper()
	require.IsType(t, &ast.CallExpr{}, e)
	var out []string
	for _, arg := range e.(*ast.CallExpr).Args {
		require.IsType(t, &ast.BasicLit{}, arg)
		s, err := strconv.Unquote(arg.(*ast.BasicLit).Value)
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/traffic"
)

// onKubernetes is a rollout with a route, steps before the promotion, and arms of its own.
func onKubernetes(name, gateway, steps string) string {
	return "apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: " + name + "}\nspec:\n  traffic: {traefik: {namespace: pro, " + gateway + "}}\n" +
		"  stable: {deployment: " + name + ", service: {name: " + name + ", port: 80}}\n  canary: {deployment: " + name + "-canary, service: {name: " + name + "-canary, port: 80}}\n" +
		"  analysis: none\n  steps: [" + steps + "{gray: {weights: [5%]}}, {promote: {}}]\n"
}

// inFile is a rollout of the file provider.
func inFile(name, folder, host, steps string) string {
	return "apiVersion: serin.dev/v1alpha1\nkind: Rollout\nmetadata: {name: " + name + "}\nspec:\n  traffic: {traefikFile: {path: " + folder + "/" + name + ".yaml, rule: 'Host(`" + host + "`)', entryPoints: [web]}}\n" +
		"  stable: {servers: ['http://" + name + ":1']}\n  canary: {servers: ['http://" + name + ":2']}\n  analysis: none\n  steps: [" + steps + "{gray: {weights: [5%]}}, {promote: {}}]\n"
}

func TestRequestsBelongToOneRollout(t *testing.T) {
	const preview = "{preview: {host: preview.example.com}}, "
	for name, c := range map[string]struct{ first, second, want string }{
		"a preview's host is another rollout's": {
			onKubernetes("shop", "route: {host: shop.example.com}", preview), onKubernetes("other", "route: {host: preview.example.com}", ""), "host preview.example.com",
		},
		"a preview's host is another preview's": {
			onKubernetes("shop", "ingressRoute: shop", preview), onKubernetes("other", "ingressRoute: other", preview), "host preview.example.com",
		},
		"a preview's host is that of a rule": {
			onKubernetes("shop", "route: {host: shop.example.com, entryPoints: [web]}", preview),
			onKubernetes("other", "route: {rule: 'Host(`Preview.example.com`)', entryPoints: [web]}", ""), "host preview.example.com at entry point web",
		},
		"a preview's host at a further route's entry point is another rollout's": {
			onKubernetes("shop", "route: {host: shop.example.com, entryPoints: [web]}, furtherRoutes: [{host: more.example.com, entryPoints: [internal]}]", preview),
			onKubernetes("other", "route: {host: preview.example.com, entryPoints: [internal]}", ""), "host preview.example.com at entry point internal",
		},
		"two previews that differ in what they match": {
			onKubernetes("shop", "ingressRoute: shop", "{preview: {host: p.example.com, match: {header: {name: X, value: \"1\"}}}}, "),
			onKubernetes("other", "ingressRoute: other", "{preview: {host: p.example.com, match: {header: {name: X, value: \"2\"}}}}, "), "",
		},
		"a further route is another rollout's": {
			strings.ReplaceAll(onKubernetes("shop", "route: {host: shop.example.com}, furtherRoutes: [{host: rpc.example.com, port: rpc}]", ""), "port: 80}", "port: 80, furtherPorts: [{port: rpc}]}"),
			onKubernetes("other", "route: {host: rpc.example.com}", ""), "host rpc.example.com",
		},
		"two TCP routes of one server name": {
			onKubernetes("shop", "routeTCP: {rule: 'HostSNI(`db.example.com`)', tls: {}}", ""), onKubernetes("other", "routeTCP: {rule: 'HostSNI(`db.example.com`)', tls: {}}", ""), "TCP HostSNI(`db.example.com`)",
		},
		"HTTP and TCP on one host": {
			onKubernetes("shop", "routeTCP: {rule: 'HostSNI(`shop.example.com`)', tls: {}}", ""), onKubernetes("other", "route: {host: shop.example.com}", ""), "",
		},
		"a preview in a file has another file's host": {
			inFile("shop", "/traefik", "shop.example.com", preview), inFile("other", "/traefik", "preview.example.com", ""), "host preview.example.com at entry point web",
		},
		"a preview in a file has another file's host at a further route's entry point": {
			strings.Replace(inFile("shop", "/traefik", "shop.example.com", preview), "[web]", "[web], furtherRoutes: [{rule: 'Host(`rpc.example.com`)', entryPoints: [rpc]}]", 1),
			strings.Replace(inFile("other", "/traefik", "preview.example.com", ""), "[web]", "[rpc]", 1), "host preview.example.com at entry point rpc",
		},
		"the files are those of two Traefiks": {inFile("shop", "/traefik", "shop.example.com", preview), inFile("other", "/elsewhere", "preview.example.com", ""), ""},
		"two files have one rule":             {inFile("shop", "/traefik", "shop.example.com", ""), inFile("other", "/traefik", "shop.example.com", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][2]string{{c.first, c.second}, {c.second, c.first}} {
				_, errs := checking().Load(write(t, map[string]string{"a.yaml": order[0], "b.yaml": order[1]}))
				if c.want == "" {
					require.Empty(t, errs.Error())
					continue
				}
				require.Len(t, errs, 2, "each names the other: %s", errs.Error())
				require.Contains(t, errs.Error(), "has the same route as the rollout in")
				require.Contains(t, errs.Error(), c.want)
			}
		})
	}
}

// The names are those of traefikcrd's objects.
func TestNoRolloutHasTheNameOfAnothersObjects(t *testing.T) {
	t.Parallel()
	twoPorts := strings.ReplaceAll(onKubernetes("shop", "ingressRoute: [users, more]", ""), "port: 80}", "port: 80, furtherPorts: [{port: rpc}]}")
	twoRoutes := onKubernetes("shop", "route: {host: shop.example.com}, furtherRoutes: [{host: more.example.com}]", "")
	for other, shop := range map[string]string{
		"shop-port-2": twoPorts, "shop-ab-port-2": twoPorts, "shop-ab-2": twoPorts, "shop-mirrored-port-2": twoPorts, "shop-route-2": twoRoutes, "shop-previewed-2": twoRoutes,
	} {
		_, errs := checking().Load(write(t, map[string]string{"a.yaml": shop, "b.yaml": onKubernetes(other, "ingressRoute: other", "")}))
		require.Len(t, errs, 2, "%s: each names the other: %s", other, errs.Error())
		_, errs = checking().Load(write(t, map[string]string{"a.yaml": onKubernetes("shop", "ingressRoute: users", ""), "b.yaml": onKubernetes(other, "ingressRoute: other", "")}))
		require.Empty(t, errs.Error(), other)
	}
}

// The names of a rollout's parts in Traefik end in a word, or in one and a number. Another rollout of such a name would have
// the same entries there.
func TestTwoRolloutsNeverHaveOneNameInTraefiksFiles(t *testing.T) {
	large := strings.NewReplacer(
		"entryPoints: [web]", "entryPoints: [web], furtherRoutes: [{rule: 'Host(`rpc.example.com`)', entryPoints: [web], port: rpc}]",
		"['http://shop:1']", "['http://shop:1'], furtherPorts: [{name: rpc, servers: ['http://shop:11']}]",
		"['http://shop:2']", "['http://shop:2'], furtherPorts: [{name: rpc, servers: ['http://shop:12']}]",
	).Replace(inFile("shop", "/traefik", "shop.example.com", ""))
	for _, c := range []struct {
		ending string
		same   bool
	}{
		{"-route-2", true}, {"-ab-2", true}, {"-mirrored-2", true}, {"-previewed-2", true}, {"-port-2", true}, {"-ab-port-2", true},
		{"-mirrored-port-2", true}, {"-previewed-port-2", true}, {"-route-3", false}, {"-port-3", false}, {"-2", false}, {"-route", false},
	} {
		other := inFile("shop"+c.ending, "/traefik", "other.example.com", "")
		for _, order := range [][2]string{{large, other}, {other, large}} {
			_, errs := checking().Load(write(t, map[string]string{"a.yaml": order[0], "b.yaml": order[1]}))
			if !c.same {
				require.Empty(t, errs.Error(), c.ending)
				continue
			}
			require.Len(t, errs, 2, "each names the other: %s", errs.Error())
			for i, file := range []string{"b.yaml", "a.yaml"} {
				require.Contains(t, errs[i].Error(), "would make an object \"shop"+c.ending+"\" in Traefik, and so would the rollout in ")
				require.Contains(t, errs[i].Error(), file+":3: use another name")
			}
		}
		_, errs := checking().Load(write(t, map[string]string{"a.yaml": inFile("shop", "/traefik", "shop.example.com", ""), "b.yaml": other}))
		require.Empty(t, errs.Error(), "%s: with one route and one port there are no such names", c.ending)
	}
}

func TestThePlanHasTheNamespaceAndPortsOfTheArms(t *testing.T) {
	elsewhere := strings.ReplaceAll(onKubernetes("shop", "ingressRoute: [shop-http, shop-rpc]", "{deploy: {deployment: shop-canary, image: {a: b}}}, "), "{deployment: shop", "{namespace: arms, deployment: shop")
	elsewhere = strings.Replace(elsewhere, "{deploy: {namespace: arms, deployment", "{deploy: {deployment", 1)
	elsewhere = strings.ReplaceAll(elsewhere, "port: 80}", "port: 80, furtherPorts: [{port: rpc}]}")
	set, errs := checking().Load(write(t, map[string]string{"a.yaml": elsewhere}))
	require.Empty(t, errs.Error())
	plan := set.Rollouts[0].Plan
	require.Equal(t, "pro", plan.Gateway.Cluster.Namespace)
	require.Equal(t, "arms", plan.Gateway.Cluster.Arms)
	require.Equal(t, []traffic.PortPair{{Stable: "rpc", Canary: "rpc"}}, plan.Gateway.Cluster.Ports)
	require.Equal(t, "arms/shop", plan.Rollout.Cluster.Arms.Stable.Deployment.String())
	step, err := json.Marshal(plan.Rollout.Steps[0])
	require.NoError(t, err)
	require.Contains(t, string(step), `"namespace":"arms"`, "a deploy step that names no namespace is in that of the arms")

	set, errs = checking().Load(write(t, map[string]string{"a.yaml": onKubernetes("db", "routeTCP: {rule: 'HostSNI(`db`)', tls: {passthrough: true}}", "")}))
	require.Empty(t, errs.Error())
	tcp := set.Rollouts[0].Plan.Gateway.TCP
	require.Equal(t, &traffic.TLS{Passthrough: true}, tcp.Route.TLS)
	require.Nil(t, set.Rollouts[0].Plan.Gateway.Cluster)
}

func TestAHostWithLettersThatTraefikRefusesIsRefused(t *testing.T) {
	_, errs := checking().Load(write(t, map[string]string{"a.yaml": onKubernetes("shop", "route: {host: münchen.example.com}", "")}))
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "traffic.traefik.route.host: rule \"Host(`münchen.example.com`)\": Host: \"münchen.example.com\" has other characters than ASCII")
}

func TestBothArmsBehindOneServiceAreRefused(t *testing.T) {
	for _, gateway := range []string{"ingressRoute: shop", "routeTCP: {rule: 'HostSNI(`*`)'}"} {
		text := onKubernetes("shop", gateway, "")
		require.Contains(t, text, "service: {name: shop-canary,")
		_, errs := checking().Load(write(t, map[string]string{"a.yaml": strings.Replace(text, "service: {name: shop-canary,", "service: {name: shop,", 1)}))
		require.Len(t, errs, 1)
		require.ErrorContains(t, errs[0], "canary.service.name: shop is stable's Service: expected one that leads to the canary alone")
	}
}

func TestATCPRouteThatNamesAHostHasTLS(t *testing.T) {
	for _, file := range []bool{false, true} {
		for route, want := range map[string]string{
			"rule: 'HostSNI(`db`)'":                           "routeTCP.rule: rule \"HostSNI(`db`)\": only a connection with TLS names a host: add tls: {} to the route, or write HostSNI(`*`)",
			"rule: 'HostSNI(`db`)', tls: {}":                  "",
			"rule: 'HostSNI(`db`)', tls: {passthrough: true}": "",
			"rule: 'HostSNI(`*`)'":                            "",
		} {
			text := onKubernetes("db", "routeTCP: {"+route+"}", "")
			if file {
				text = strings.ReplaceAll(strings.Replace(inFile("db", "/traefik", "db", ""), "rule: 'Host(`db`)', entryPoints: [web]", "routeTCP: {"+route+"}", 1), "http://", "tcp://")
			}
			_, errs := checking().Load(write(t, map[string]string{"a.yaml": text}))
			if want == "" {
				require.Empty(t, errs.Error(), route)
			} else {
				require.Len(t, errs, 1)
				require.ErrorContains(t, errs[0], want)
			}
		}
	}
}

func TestAnObjectReachesTheNamespaceOfItsArmsOnlyIfItMay(t *testing.T) {
	t.Parallel()
	o := rolloutObject(t, "pro", "shop")
	for _, arm := range []string{"stable", "canary"} {
		o.Spec = []byte(strings.Replace(string(o.Spec), `"`+arm+`": {`, `"`+arm+`": {"namespace": "dev", `, 1))
	}
	require.Equal(t, 2, strings.Count(string(o.Spec), `"namespace": "dev"`))
	require.Contains(t, setOf(Loader{}, nil, o).Errors.Error(), "stable.namespace: a Rollout in namespace pro acts in that one alone")
	require.Empty(t, setOf(Loader{Objects: Objects{Reach: map[string][]string{"pro": {"dev"}}}}, nil, o).Errors)
}

func TestACustomResourceMayHaveTheNameThatKubernetesTakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200) + ".api"
	set := setOf(Loader{}, nil, rolloutObject(t, "pro", long))
	require.Empty(t, set.Errors)
	_, ok := set.Rollout("pro." + long)
	require.True(t, ok)
	id, object := ParseObjectID("pro." + long)
	require.True(t, object)
	require.Equal(t, ObjectID{"pro", long}, id, "a namespace has no dots")
	for i, pair := range [][2]string{{"shop.api", "shop-api"}, {"shop.api", "shop.api"}} {
		one, other := rolloutObject(t, "pro", pair[0], "shop.example.com", "a.example.com"), rolloutObject(t, "dev", pair[1])
		require.Empty(t, setOf(Loader{}, nil, one, other).Errors, fmt.Sprint(i))
	}
}

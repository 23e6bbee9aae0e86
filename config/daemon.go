package config

// DaemonDocument is a whole document of kind Daemon.
type DaemonDocument struct {
	APIVersion string     `json:"apiVersion" jsonschema:"enum=serin.dev/v1alpha1"`
	Kind       string     `json:"kind" jsonschema:"enum=Daemon"`
	Metadata   *Metadata  `json:"metadata,omitempty"`
	Spec       DaemonSpec `json:"spec"`
}

// DaemonSpec says how this process runs. Paths in it are relative to its file. [LoadDaemon] fills in every default.
type DaemonSpec struct {
	// Listen is the address of the API and the pages; 127.0.0.1:7474 where it is left out.
	Listen Address `json:"listen,omitempty"`
	// ExternalURL is where people reach the pages, such as https://serin.example.com: links lead there, and the identity
	// provider sends people back to it.
	ExternalURL URL `json:"externalURL,omitempty"`
	// TLS of the API. Without it only loopback addresses are listened on, unless allowInsecure says otherwise.
	TLS *ListenTLSSpec `json:"tls,omitempty"`
	// AllowInsecure listens on other addresses than loopback without TLS.
	AllowInsecure bool `json:"allowInsecure,omitempty"`
	// TrustedProxies are addresses or networks (10.0.0.0/8) of proxies in front of the API: they are believed whom they
	// pass on (X-Forwarded-For) and whether that one speaks TLS (X-Forwarded-Proto). Nobody else is.
	TrustedProxies Texts `json:"trustedProxies,omitempty"`
	// Config is the folder or file of rollouts and analyses; it is watched.
	Config Texts `json:"config,omitempty"`
	// Store is sqlite:FILE or a postgres:// address; sqlite:serin.db where it is left out.
	Store Secret `json:"store,omitempty"`
	// StoreFile holds the address of the store.
	StoreFile string `json:"storeFile,omitempty"`
	// Prometheus, Thanos, Mimir, VictoriaMetrics: anything that speaks its API.
	Prometheus PrometheusSpec `json:"prometheus"`
	// Sources are further ones, by the names under which rollouts, analyses and metrics choose them (prometheus).
	Sources map[string]PrometheusSpec `json:"sources,omitempty"`
	// Kubernetes is the cluster that rollouts on Kubernetes use. Inside a cluster it is that one without further words.
	Kubernetes *KubernetesSpec `json:"kubernetes,omitempty"`
	// Leader lets several daemons share one store: one acts, and the others stand by.
	Leader *LeaderSpec `json:"leader,omitempty"`
	// Auth is who may do what.
	Auth *AuthSpec `json:"auth,omitempty"`
	// Retention is how long things are kept.
	Retention *RetentionSpec `json:"retention,omitempty"`
	// Notify tells people and programs of what happens.
	Notify []NotifySpec `json:"notify,omitempty"`
	// Spinnaker offers Kayenta's API.
	Spinnaker *SpinnakerSpec `json:"spinnaker,omitempty"`
	// Log of this process.
	Log *LogSpec `json:"log,omitempty"`
}

// KubernetesSpec is how the cluster is reached.
type KubernetesSpec struct {
	// Kubeconfig is a file as kubectl reads it; inside a cluster it may be left out.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context of that file; its current one where it is left out.
	Context string `json:"context,omitempty"`
	// Resources reads rollouts and analyses that are custom resources of the cluster, in addition to those in files, and
	// writes their status. Their definitions have to be installed.
	Resources *ResourcesSpec `json:"resources,omitempty"`
}

// ResourcesSpec says which custom resources are read, and what they may say. A rollout that is one acts in its own
// namespace, reads nothing from the daemon's disk, and has nobody called, unless more is said here.
type ResourcesSpec struct {
	// Namespaces whose rollouts and analyses are read; the whole cluster where it is left out.
	Namespaces []Namespace `json:"namespaces,omitempty" jsonschema:"minItems=1"`
	// Reach are further namespaces in which the rollouts of one may act, by the latter: {pro: [dev]}. Whoever may write
	// rollouts in pro then acts in dev with Serin's rights.
	Reach map[string][]Namespace `json:"reach,omitempty"`
	// Hosts may be named by their webhooks and as Traefik's API (verify.api); *.example.com is every one below.
	Hosts []string `json:"hosts,omitempty" jsonschema:"minItems=1"`
}

// LeaderSpec is how several daemons agree on the one that acts. The others take over when it is gone, and pass on to it
// what they are asked. They need PostgreSQL, the same ports, and serin daemon --advertise.
type LeaderSpec struct {
	// Lease is the name of the Lease in Kubernetes that they agree by.
	Lease Name `json:"lease"`
	// Namespace of the Lease; the daemon's own where it is left out.
	Namespace Name `json:"namespace,omitempty"`
	// Duration is how long the others wait for a leader that is silent, in whole seconds; 15s where it is left out.
	Duration *Duration `json:"duration,omitempty"`
}

// ListenTLSSpec is a certificate with its key.
type ListenTLSSpec struct {
	// Cert is a file with the certificate and its chain, in PEM.
	Cert string `json:"cert" jsonschema:"minLength=1"`
	// Key is a file with its private key, in PEM.
	Key string `json:"key" jsonschema:"minLength=1"`
}

// PrometheusSpec is where metrics come from: a Prometheus, or, without one, targets that Serin reads itself.
type PrometheusSpec struct {
	// URL of the API, without /api/v1.
	URL URL `json:"url,omitempty"`
	// Scrape reads metrics without a Prometheus. How to sign in, tls, headers and proxyURL are then for the targets.
	Scrape *ScrapeSpec `json:"scrape,omitempty"`
	// Timeout of one query; 10s where it is left out.
	Timeout *Duration `json:"timeout,omitempty"`
	// ScrapeInterval of the targets; 15s where it is left out. It is what analyses wait for late samples.
	ScrapeInterval *Duration `json:"scrapeInterval,omitempty"`
	// Concurrency is how many queries may run at once; 8 where it is left out.
	Concurrency int `json:"concurrency,omitempty" jsonschema:"minimum=1,maximum=1000"`
	// BasicAuth signs in by user and password.
	BasicAuth *BasicAuthSpec `json:"basicAuth,omitempty"`
	// BearerToken signs in by a token.
	BearerToken Secret `json:"bearerToken,omitempty"`
	// BearerTokenFile holds the token; it is read anew when it changes.
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`
	// TLS of the connection.
	TLS *ClientTLSSpec `json:"tls,omitempty"`
	// ServiceLabel is what the label service of Traefik's series is called there: exported_service where a Prometheus
	// operator has renamed it; service where it is left out.
	ServiceLabel string `json:"serviceLabel,omitempty" jsonschema:"pattern=^[a-zA-Z_][a-zA-Z0-9_]*$"`
	// Match are further matchers of Traefik's series, where those of several clusters, or of several scrapes of one
	// Traefik, are in one place.
	Match Matchers `json:"match,omitempty"`
	// Headers to send along, such as X-Scope-OrgID.
	Headers map[string]Secret `json:"headers,omitempty"`
	// ProxyURL is an HTTP proxy on the way.
	ProxyURL URL `json:"proxyURL,omitempty"`
}

// ScrapeSpec reads metrics from where they are served. Serin keeps them in memory, for a day, and needs a
// Prometheus for expressions, for baselines of the past and for Spinnaker.
type ScrapeSpec struct {
	// Targets are whole addresses, such as http://127.0.0.1:8082/metrics: one for each replica of Traefik, or of the
	// application.
	Targets []URL `json:"targets" jsonschema:"minItems=1,maxItems=32"`
	// Interval between two scrapes of a target; 2s where it is left out.
	Interval *Duration `json:"interval,omitempty"`
}

// BasicAuthSpec is a user with a password.
type BasicAuthSpec struct {
	// Username to sign in with.
	Username string `json:"username" jsonschema:"minLength=1"`
	// Password to sign in with.
	Password Secret `json:"password,omitempty"`
	// PasswordFile holds the password.
	PasswordFile string `json:"passwordFile,omitempty"`
}

// ClientTLSSpec is the TLS of a connection that Serin opens.
type ClientTLSSpec struct {
	// CAFile holds the certificates to trust.
	CAFile string `json:"caFile,omitempty"`
	// CertFile is Serin's own certificate.
	CertFile string `json:"certFile,omitempty"`
	// KeyFile is its private key.
	KeyFile string `json:"keyFile,omitempty"`
	// ServerName that the certificate has to be for.
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify trusts any certificate.
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// AuthSpec is who may do what.
type AuthSpec struct {
	// Tokens is a file with names, roles and hashes; serin token writes it.
	Tokens string `json:"tokens,omitempty"`
	// OIDC signs people in to the pages by an identity provider.
	OIDC *OIDCSpec `json:"oidc,omitempty"`
	// Sessions of people on the pages.
	Sessions *SessionsSpec `json:"sessions,omitempty"`
}

// OIDCSpec is an identity provider that speaks OpenID Connect. Its client needs the address
// externalURL/sign-in/callback as a redirect URI.
type OIDCSpec struct {
	// Issuer of the tokens.
	Issuer URL `json:"issuer"`
	// ClientID of Serin at the provider.
	ClientID string `json:"clientID" jsonschema:"minLength=1"`
	// ClientSecret of Serin at the provider.
	ClientSecret Secret `json:"clientSecret,omitempty"`
	// ClientSecretFile holds it.
	ClientSecretFile string `json:"clientSecretFile,omitempty"`
	// Scopes to ask for; profile and email where it is left out. openid is always asked for.
	Scopes []string `json:"scopes,omitempty"`
	// NameClaim is what people are called by in events and in the audit log; email where it is left out, which the
	// provider then has to have verified (email_verified).
	NameClaim string `json:"nameClaim,omitempty"`
	// GroupsClaim lists the groups of a person; groups where it is left out.
	GroupsClaim string `json:"groupsClaim,omitempty"`
	// Roles that the members of a group have, by the name of the group.
	Roles map[string]Texts `json:"roles,omitempty"`
	// Everybody has these roles, whatever the groups. Without them a person in none of the groups is refused.
	Everybody Texts `json:"everybody,omitempty"`
	// Teams have roles on some rollouts only; the others are not shown to them.
	Teams []OIDCTeamSpec `json:"teams,omitempty"`
	// Recheck is how long the groups of a person count before the provider is asked for them again; 15m where it is left
	// out.
	Recheck *Duration `json:"recheck,omitempty"`
}

// OIDCTeamSpec is what the members of some groups may do to some rollouts.
type OIDCTeamSpec struct {
	// Groups of the team.
	Groups Texts `json:"groups" jsonschema:"minItems=1"`
	// Roles of its members.
	Roles Texts `json:"roles" jsonschema:"minItems=1"`
	// Rollouts that the roles hold for: whole names, in which * stands for any characters but a slash.
	Rollouts Texts `json:"rollouts" jsonschema:"minItems=1"`
}

// SessionsSpec is how long people stay signed in to the pages.
type SessionsSpec struct {
	// MaxAge of a session, whatever is done in it; 12h where it is left out.
	MaxAge *Duration `json:"maxAge,omitempty"`
	// Idle is after how long without a click it ends; 2h where it is left out.
	Idle *Duration `json:"idle,omitempty"`
	// KeyFile holds the secret that sessions are sealed with, 32 bytes or more; several daemons behind one address need the
	// same. It is made if it is not there; serin.session-key beside the store where it is left out.
	KeyFile string `json:"keyFile,omitempty"`
}

// RetentionSpec is how long things are kept. Events and the audit log stay.
type RetentionSpec struct {
	// Evidence is looks and snapshots of releases that have ended; 90d where it is left out.
	Evidence *Duration `json:"evidence,omitempty"`
}

// NotifySpec is one receiver of messages: a chat or a mailbox by url or urlFile, or a program by webhook.
type NotifySpec struct {
	// Name of the receiver in logs, metrics and the keys of its messages; the service's where it is left out, such as
	// slack, smtp or webhook.
	Name Name `json:"name,omitempty"`
	// URL of the service, as shoutrrr writes it: slack://…, teams://…, smtp://….
	URL Secret `json:"url,omitempty"`
	// URLFile holds it.
	URLFile string `json:"urlFile,omitempty"`
	// Webhook gets each message as a CloudEvent over HTTP.
	Webhook *NotifyWebhookSpec `json:"webhook,omitempty"`
	// On what: gate, hold, alarm, rollback and finished where it is left out.
	On []string `json:"on,omitempty" jsonschema:"enum=started,enum=step,enum=gate,enum=hold,enum=alarm,enum=drift,enum=rollback,enum=finished"`
}

// NotifyWebhookSpec is a program that gets CloudEvents 1.0 as JSON, signed as Standard Webhooks does.
type NotifyWebhookSpec struct {
	// URL to post to.
	URL Secret `json:"url,omitempty"`
	// URLFile holds it.
	URLFile string `json:"urlFile,omitempty"`
	// Secret that messages are signed with (HMAC-SHA256), 16 bytes or more; whsec_ and base64, or the bytes themselves.
	Secret Secret `json:"secret,omitempty"`
	// SecretFile holds it.
	SecretFile string `json:"secretFile,omitempty"`
}

// SpinnakerSpec offers Kayenta's API and the remote judge. Spinnaker sends no tokens: on an address that others can
// reach, tls.clientCA, basicAuth or allowAnonymous has to say who may.
type SpinnakerSpec struct {
	// Listen is an address of its own; Kayenta's port is 8090.
	Listen Address `json:"listen"`
	// TLS of this listener.
	TLS *SpinnakerTLSSpec `json:"tls,omitempty"`
	// BasicAuth is what callers have in their base URL: http://user:password@host:8090.
	BasicAuth *BasicAuthSpec `json:"basicAuth,omitempty"`
	// AllowAnonymous lets everybody who can reach the address use this API.
	AllowAnonymous bool `json:"allowAnonymous,omitempty"`
	// AllowInsecure lets the password of basicAuth travel without TLS.
	AllowInsecure bool `json:"allowInsecure,omitempty"`
	// Accounts gives further names to the accounts, by which pipelines know those of the Kayenta before.
	Accounts *SpinnakerAccountsSpec `json:"accounts,omitempty"`
	// ScopeLabel finds the instances of resource type gce_instance; instance where it is left out.
	ScopeLabel string `json:"scopeLabel,omitempty" jsonschema:"pattern=^[a-zA-Z_][a-zA-Z0-9_]*$"`
	// MatchersInScopes takes scopes that are whole matchers, such as version="v2", where a template has a place for
	// one. Those who may start an analysis can then change its queries: leave it out unless they may write them anyway.
	MatchersInScopes bool `json:"matchersInScopes,omitempty"`
	// MaxRuns is how many runs and analyses may be open at once; 1000 where it is left out.
	MaxRuns int `json:"maxRuns,omitempty" jsonschema:"minimum=1,maximum=100000"`
}

// SpinnakerAccountsSpec is what the accounts prometheus and serin are called besides.
type SpinnakerAccountsSpec struct {
	// Prometheus lists further names of the account that metrics come from.
	Prometheus Texts `json:"prometheus,omitempty"`
	// Serin lists further names of the account that configs and results are stored in.
	Serin Texts `json:"serin,omitempty"`
}

// SpinnakerTLSSpec is a certificate with its key, and who may call.
type SpinnakerTLSSpec struct {
	// Cert is a file with the certificate and its chain, in PEM.
	Cert string `json:"cert" jsonschema:"minLength=1"`
	// Key is a file with its private key, in PEM.
	Key string `json:"key" jsonschema:"minLength=1"`
	// ClientCA is a file with the authorities that callers' certificates have to be of, in PEM.
	ClientCA string `json:"clientCA,omitempty"`
}

// LogSpec is the log of this process.
type LogSpec struct {
	// Level from which on lines are written; info where it is left out.
	Level string `json:"level,omitempty" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// Format of a line; text where it is left out.
	Format string `json:"format,omitempty" jsonschema:"enum=text,enum=json"`
}

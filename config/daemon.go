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
	// Listen is the address of the API and the pages; 127.0.0.1:7474 by default.
	Listen Address `json:"listen,omitempty"`
	// ExternalURL is where people reach the pages, such as https://serin.example.com: links lead there, and the identity
	// provider sends people back to it.
	ExternalURL URL `json:"externalURL,omitempty"`
	// TLS of the API. Without it Serin listens on loopback addresses only, unless allowInsecure says otherwise.
	TLS *ListenTLSSpec `json:"tls,omitempty"`
	// AllowInsecure permits listening without TLS on addresses other than loopback.
	AllowInsecure bool `json:"allowInsecure,omitempty"`
	// TrustedProxies are the addresses or networks (10.0.0.0/8) of proxies in front of the API: only from them does
	// Serin accept who the client is (X-Forwarded-For) and whether it uses TLS (X-Forwarded-Proto).
	TrustedProxies Texts `json:"trustedProxies,omitempty"`
	// Config is the folder or file of rollouts and analyses; it is watched.
	Config Texts `json:"config,omitempty"`
	// Store is sqlite:FILE or a postgres:// address; sqlite:serin.db by default.
	Store Secret `json:"store,omitempty"`
	// StoreFile holds the address of the store.
	StoreFile string `json:"storeFile,omitempty"`
	// Prometheus, Thanos, Mimir, VictoriaMetrics: anything that speaks its API.
	Prometheus PrometheusSpec `json:"prometheus"`
	// Grafana is where people look at metrics: the pages link there.
	Grafana *GrafanaSpec `json:"grafana,omitempty"`
	// Sources are further sources of metrics, by the names that rollouts, analyses and metrics use for them (prometheus).
	Sources map[string]PrometheusSpec `json:"sources,omitempty"`
	// Kubernetes is the cluster that rollouts on Kubernetes use. Inside a cluster it is that cluster by default.
	Kubernetes *KubernetesSpec `json:"kubernetes,omitempty"`
	// Leader lets several daemons share one store: one acts, and the others stand by.
	Leader *LeaderSpec `json:"leader,omitempty"`
	// Windows are the times of a week in which releases of all rollouts enter steps and weights, in addition to a rollout's own;
	// at all times by default. They apply to a release under way, too.
	Windows []WindowSpec `json:"windows,omitempty" jsonschema:"minItems=1"`
	// Freezes are days on which no release enters a step or weight.
	Freezes []FreezeSpec `json:"freezes,omitempty"`
	// Auth is who may do what.
	Auth *AuthSpec `json:"auth,omitempty"`
	// Retention is how long things are kept.
	Retention *RetentionSpec `json:"retention,omitempty"`
	// Notify tells people and programs what happens.
	Notify []NotifySpec `json:"notify,omitempty"`
	// Spinnaker offers Kayenta's API.
	Spinnaker *SpinnakerSpec `json:"spinnaker,omitempty"`
	// Log of this process.
	Log *LogSpec `json:"log,omitempty"`
}

// GrafanaSpec is a Grafana 10 or later that has the same metrics. Serin sends it no requests: the pages only link there.
type GrafanaSpec struct {
	// URL of its pages.
	URL URL `json:"url"`
	// Datasource is the uid of its source for these metrics; without it, Grafana's default source.
	Datasource string `json:"datasource,omitempty" jsonschema:"maxLength=100"`
}

// KubernetesSpec says how to reach the cluster.
type KubernetesSpec struct {
	// Kubeconfig is a file as kubectl reads it; inside a cluster it may be left out.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Context in that file; the current one by default.
	Context string `json:"context,omitempty"`
	// Resources reads rollouts and analyses that are custom resources of the cluster, in addition to those in files, and
	// writes their status. Their definitions have to be installed.
	Resources *ResourcesSpec `json:"resources,omitempty"`
}

// ResourcesSpec says which custom resources are read, and what they may do. A rollout that is a custom resource acts in its
// own namespace only, reads nothing from the daemon's disk, and makes Serin call no hosts, unless more is allowed here.
type ResourcesSpec struct {
	// Namespaces whose rollouts and analyses are read; the whole cluster by default.
	Namespaces []Namespace `json:"namespaces,omitempty" jsonschema:"minItems=1"`
	// Reach lists for a namespace the further ones in which its rollouts may act: {pro: [dev]}. Anyone who may write rollouts
	// in pro then acts in dev with Serin's rights.
	Reach map[string][]Namespace `json:"reach,omitempty"`
	// Hosts that their webhooks and verify.api (Traefik's API) may name; *.example.com is every host below.
	Hosts []string `json:"hosts,omitempty" jsonschema:"minItems=1"`
	// Admission answers the API server's validating webhook, so that a mistake is refused at once instead of shown in the
	// status.
	Admission *AdmissionSpec `json:"admission,omitempty"`
}

// AdmissionSpec is where the API server asks whether a rollout or an analysis is valid. It speaks HTTPS, with the
// certificate of tls; the API server has to trust it for the name of Serin's Service.
type AdmissionSpec struct {
	// Listen is host and port.
	Listen Address `json:"listen"`
}

// LeaderSpec is how several daemons agree on the one that acts. The others forward requests to it and take over when it
// is gone. They need PostgreSQL, the same ports, and serin daemon --advertise.
type LeaderSpec struct {
	// Lease is the name of the Kubernetes Lease by which they agree.
	Lease Name `json:"lease"`
	// Namespace of the Lease; the daemon's own by default.
	Namespace Name `json:"namespace,omitempty"`
	// Duration is how long the others wait for a silent leader, in whole seconds; 15s by default.
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
	// Scrape reads metrics without a Prometheus. Credentials, tls, headers and proxyURL then apply to the targets.
	Scrape *ScrapeSpec `json:"scrape,omitempty"`
	// Timeout of one query; 10s by default.
	Timeout *Duration `json:"timeout,omitempty"`
	// ScrapeInterval of the targets; 15s by default. Analyses wait that long for late samples.
	ScrapeInterval *Duration `json:"scrapeInterval,omitempty"`
	// Concurrency is how many queries may run at once; 8 by default.
	Concurrency int `json:"concurrency,omitempty" jsonschema:"minimum=1,maximum=1000"`
	// BasicAuth signs in with user and password.
	BasicAuth *BasicAuthSpec `json:"basicAuth,omitempty"`
	// BearerToken signs in with a token.
	BearerToken Secret `json:"bearerToken,omitempty"`
	// BearerTokenFile holds the token; it is read again when it changes.
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`
	// TLS of the connection.
	TLS *ClientTLSSpec `json:"tls,omitempty"`
	// ServiceLabel is the name that the label service of Traefik's series has there: exported_service where a
	// Prometheus operator has renamed it; service by default.
	ServiceLabel string `json:"serviceLabel,omitempty" jsonschema:"pattern=^[a-zA-Z_][a-zA-Z0-9_]*$"`
	// Match adds matchers for Traefik's series, where those of several clusters, or several scrapes of one Traefik, are
	// kept in one place.
	Match Matchers `json:"match,omitempty"`
	// Headers to send along, such as X-Scope-OrgID.
	Headers map[string]Secret `json:"headers,omitempty"`
	// ProxyURL is an HTTP proxy to go through.
	ProxyURL URL `json:"proxyURL,omitempty"`
}

// ScrapeSpec reads metrics from where they are served. Serin keeps them for a day; expressions, baselines
// from an earlier time and Spinnaker still need a Prometheus.
type ScrapeSpec struct {
	// Targets are whole addresses, such as http://127.0.0.1:8080/metrics: one for each replica of Traefik, or of the
	// application.
	Targets []URL `json:"targets,omitempty" jsonschema:"minItems=1,maxItems=32"`
	// Service is a Service of the cluster, or several, each of whose replicas is read as they come and go:
	// http://traefik.traefik.svc:9100/metrics. The port is the Service's, or one of the pods'. Their series have the labels
	// namespace and pod.
	Service Texts `json:"service,omitempty"`
	// Interval between two scrapes of a target; 2s by default.
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
	// OIDC signs people in to the pages through an identity provider.
	OIDC *OIDCSpec `json:"oidc,omitempty"`
	// Kubernetes takes bearer tokens of the cluster, whose own rights say what their owners may do.
	Kubernetes *KubernetesAuthSpec `json:"kubernetes,omitempty"`
	// Sessions of people on the pages.
	Sessions *SessionsSpec `json:"sessions,omitempty"`
}

// KubernetesAuthSpec takes the cluster's bearer tokens (TokenReview). What their owners may do are verbs on
// rollouts.serin.dev: get, start, approve, pause, promote and rollback (SubjectAccessReview).
type KubernetesAuthSpec struct {
	// Audiences that are accepted: a token has to be for one of them. The API server's own by default.
	Audiences []string `json:"audiences,omitempty" jsonschema:"minItems=1"`
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
	// Scopes to request; profile and email by default. openid is always requested.
	Scopes []string `json:"scopes,omitempty"`
	// NameClaim is the claim that names people in events and in the audit log; email by default, which the provider
	// must then have verified (email_verified).
	NameClaim string `json:"nameClaim,omitempty"`
	// GroupsClaim is the claim that lists a person's groups; groups by default.
	GroupsClaim string `json:"groupsClaim,omitempty"`
	// Roles of the members of a group, by the name of the group.
	Roles map[string]Texts `json:"roles,omitempty"`
	// Everybody has these roles, whatever their groups. Without it a person in none of the groups is refused.
	Everybody Texts `json:"everybody,omitempty"`
	// Teams have roles on some rollouts only; the others are not shown to them.
	Teams []OIDCTeamSpec `json:"teams,omitempty"`
	// Recheck is how long a person's groups are trusted before the provider is asked for them again; 15m by default.
	Recheck *Duration `json:"recheck,omitempty"`
}

// OIDCTeamSpec is what the members of some groups may do to some rollouts.
type OIDCTeamSpec struct {
	// Groups of the team.
	Groups Texts `json:"groups" jsonschema:"minItems=1"`
	// Roles of its members.
	Roles Texts `json:"roles" jsonschema:"minItems=1"`
	// Rollouts that the roles hold for: whole names, in which * matches any characters except a slash.
	Rollouts Texts `json:"rollouts" jsonschema:"minItems=1"`
}

// SessionsSpec is how long people stay signed in to the pages.
type SessionsSpec struct {
	// MaxAge of a session, however active it is; 12h by default.
	MaxAge *Duration `json:"maxAge,omitempty"`
	// Idle is how long a session lasts without a click; 2h by default.
	Idle *Duration `json:"idle,omitempty"`
	// KeyFile holds the secret that seals sessions, 32 bytes or more; several daemons behind one address need the same.
	// It is created if it is missing; serin.session-key next to the store by default.
	KeyFile string `json:"keyFile,omitempty"`
}

// RetentionSpec is how long things are kept. Events and the audit log are kept forever.
type RetentionSpec struct {
	// Evidence is the looks and snapshots of releases that have ended; 90d by default.
	Evidence *Duration `json:"evidence,omitempty"`
}

// NotifySpec is one receiver of messages: a chat or a mailbox with url or urlFile, or a program with webhook.
type NotifySpec struct {
	// Name of the receiver in logs, metrics and the keys of its messages; by default that of the service, such as
	// slack, smtp or webhook.
	Name Name `json:"name,omitempty"`
	// URL of the service, as shoutrrr writes it: slack://…, teams://…, smtp://….
	URL Secret `json:"url,omitempty"`
	// URLFile holds it.
	URLFile string `json:"urlFile,omitempty"`
	// Webhook gets each message as a CloudEvent over HTTP.
	Webhook *NotifyWebhookSpec `json:"webhook,omitempty"`
	// OnRequest: rollouts may ask for this receiver (notify), and it gets the messages about those that do. rollouts,
	// namespaces and labels then say which of them may.
	OnRequest bool `json:"onRequest,omitempty"`
	// Rollouts that the messages are about: whole names, in which * matches any characters except a slash; all of them by
	// default.
	Rollouts Texts `json:"rollouts,omitempty"`
	// Namespaces of the rollouts that the messages are about, in which * stands for any characters; by default all of them,
	// and rollouts without Kubernetes.
	Namespaces Texts `json:"namespaces,omitempty"`
	// Labels that a rollout has to have, with these values.
	Labels map[string]string `json:"labels,omitempty"`
	OccasionsSpec
}

// OccasionsSpec says on what a receiver gets messages.
type OccasionsSpec struct {
	// On what: gate, hold, alarm, rollback and finished by default.
	On []string `json:"on,omitempty" jsonschema:"enum=started,enum=step,enum=gate,enum=hold,enum=alarm,enum=drift,enum=dryRun,enum=rollback,enum=finished"`
}

// NotifyWebhookSpec is a program that receives CloudEvents 1.0 as JSON, signed as Standard Webhooks prescribes.
type NotifyWebhookSpec struct {
	// URL to post to.
	URL Secret `json:"url,omitempty"`
	// URLFile holds it.
	URLFile string `json:"urlFile,omitempty"`
	// Secret that signs messages (HMAC-SHA256), 16 bytes or more; whsec_ and base64, or the bytes themselves.
	Secret Secret `json:"secret,omitempty"`
	// SecretFile holds it.
	SecretFile string `json:"secretFile,omitempty"`
}

// SpinnakerSpec offers Kayenta's API and the remote judge. Spinnaker sends no tokens: on an address that others can
// reach, tls.clientCA, basicAuth or allowAnonymous has to say who may call.
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
	// Accounts gives the accounts further names: those under which pipelines knew them in the Kayenta that Serin
	// replaces.
	Accounts *SpinnakerAccountsSpec `json:"accounts,omitempty"`
	// ScopeLabel finds the instances of resource type gce_instance; instance by default.
	ScopeLabel string `json:"scopeLabel,omitempty" jsonschema:"pattern=^[a-zA-Z_][a-zA-Z0-9_]*$"`
	// MatchersInScopes takes scopes that are whole matchers, such as version="v2", where a template has a place for
	// one. Those who may start an analysis can then change its queries: leave it out unless they may write them anyway.
	MatchersInScopes bool `json:"matchersInScopes,omitempty"`
	// MaxRuns is how many runs and analyses may be open at once; 1000 by default.
	MaxRuns int `json:"maxRuns,omitempty" jsonschema:"minimum=1,maximum=100000"`
}

// SpinnakerAccountsSpec holds further names for the accounts prometheus and serin.
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
	// ClientCA is a file with the authorities that must have issued the callers' certificates, in PEM.
	ClientCA string `json:"clientCA,omitempty"`
}

// LogSpec is the log of this process.
type LogSpec struct {
	// Level is the lowest one that is written; info by default.
	Level string `json:"level,omitempty" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// Format of a line; text by default.
	Format string `json:"format,omitempty" jsonschema:"enum=text,enum=json"`
}

package config

// RolloutDocument is a whole document of kind Rollout.
type RolloutDocument struct {
	APIVersion string      `json:"apiVersion" jsonschema:"enum=serin.dev/v1alpha1"`
	Kind       string      `json:"kind" jsonschema:"enum=Rollout"`
	Metadata   Metadata    `json:"metadata"`
	Spec       RolloutSpec `json:"spec"`
}

// RolloutSpec says where traffic goes, and the steps of a release.
type RolloutSpec struct {
	// Parameters are given at the start of a release: serin start NAME --set image=…
	Parameters []ParameterSpec `json:"parameters,omitempty"`
	// Traffic is how requests arrive: exactly one gateway.
	Traffic TrafficSpec `json:"traffic"`
	// Stable is the version in production.
	Stable ArmSpec `json:"stable,omitzero"`
	// Canary is the version on trial.
	Canary ArmSpec `json:"canary,omitzero"`
	// Deployment, in place of stable and canary, is the only Deployment in Git. It is the version on trial: a new pod
	// template starts a release. Stable is a copy of it that Serin makes, NAME-stable.
	Deployment ObjectName `json:"deployment,omitempty"`
	// Service in front of that Deployment; the copy gets one like it, NAME-stable.
	Service *ServiceSpec `json:"service,omitempty"`
	// ScaleDown gives the Deployment no pods between releases, and as many as the weight needs during one. Without it Serin
	// leaves its replicas alone.
	ScaleDown bool `json:"scaleDown,omitempty"`
	// Track makes changes to the ConfigMaps that the pod template names count as changes to the template. Stable's copy then
	// has copies of them, so a change reaches users only through a release.
	Track string `json:"track,omitempty" jsonschema:"enum=configMaps"`
	// KeepOld is how long after a release the version before keeps as many pods as stable, in a Deployment NAME-previous that
	// Serin makes, so that an undo takes seconds. After that time an undo has to start these pods first.
	KeepOld *Duration `json:"keepOld,omitempty"`
	// Leave brings all traffic back to the Deployment, so that Serin can be taken away without losing a request.
	Leave bool `json:"leave,omitempty"`
	// Guards protect both arms alike.
	Guards *GuardsSpec `json:"guards,omitempty"`
	// Analysis names the analyses of every step that has none of its own; traefik-web is built in. none says that nothing is
	// compared.
	Analysis Texts `json:"analysis,omitempty"`
	// Prometheus is the name of one of the daemon's sources, for analyses that name none; the daemon's own by default.
	Prometheus string `json:"prometheus,omitempty" jsonschema:"minLength=1"`
	// Steps of a release, in order.
	Steps []StepSpec `json:"steps" jsonschema:"minItems=1"`
	// Returning is a shorter plan for a version that was in service not long ago; without it every version takes the plan.
	Returning *ReturningSpec `json:"returning,omitempty"`
	// KeepCohort leaves the route of an A/B step in place until the end of the release.
	KeepCohort bool `json:"keepCohort,omitempty"`
	// Windows are the times of a week in which a release enters steps and weights; at all times by default.
	Windows []WindowSpec `json:"windows,omitempty" jsonschema:"minItems=1"`
	// Freezes are days on which it enters no step or weight.
	Freezes []FreezeSpec `json:"freezes,omitempty"`
	// Override is who may let a release go on without waiting (serin promote); every operator by default.
	Override *OverrideSpec `json:"override,omitempty"`
	// Rollback is how a release goes back.
	Rollback *RollbackSpec `json:"rollback,omitempty"`
	// Triggers start a release automatically.
	Triggers []TriggerSpec `json:"triggers,omitempty"`
	// Owner is the person or team responsible for the service; pages, messages and status show it.
	Owner string `json:"owner,omitempty" jsonschema:"minLength=1,maxLength=100"`
	// Labels filter lists and route messages: {team: payments}.
	Labels map[string]string `json:"labels,omitempty"`
	// Links lead people to a dashboard, a runbook, the source; pages, messages and status show them.
	Links []LinkSpec `json:"links,omitempty" jsonschema:"maxItems=20"`
	// Notify asks receivers of the daemon for messages about this rollout.
	Notify []RolloutNotifySpec `json:"notify,omitempty" jsonschema:"maxItems=20"`
}

// OverrideSpec is who may let a release go on without waiting.
type OverrideSpec struct {
	// Approvers are roles or users; without any every operator may.
	Approvers Texts `json:"approvers,omitempty"`
	// FourEyes: the person who started the release may not.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// ParameterSpec is a value given at the start of a release; ${name} stands for it.
type ParameterSpec struct {
	// Name stands between ${ and }.
	Name Identifier `json:"name"`
	// Required: a release is not started without it.
	Required bool `json:"required,omitempty"`
	// Default is the value if none is given.
	Default string `json:"default,omitempty"`
	// Pattern is a regular expression that the whole value has to match.
	Pattern Regexp `json:"pattern,omitempty"`
}

// ArmSpec is where one version is served: servers, or a Deployment with its Service.
type ArmSpec struct {
	// Servers are base addresses, for Traefik's file provider.
	Servers []Server `json:"servers,omitempty"`
	// BalancingSpec is how Traefik talks to the servers; on Kubernetes it belongs to the service.
	BalancingSpec
	// HealthCheck of the servers.
	HealthCheck *HealthCheckSpec `json:"healthCheck,omitempty"`
	// FurtherPorts of the servers that routes of the release lead to. All of them move together.
	FurtherPorts []ServersPortSpec `json:"furtherPorts,omitempty" jsonschema:"minItems=1"`
	// Deployment that runs the version.
	Deployment ObjectName `json:"deployment,omitempty"`
	// StatefulSet that runs it, in place of a Deployment.
	StatefulSet ObjectName `json:"statefulSet,omitempty"`
	// Service in front of it.
	Service *ServiceSpec `json:"service,omitempty"`
	// Namespace of both, the same for stable and canary; the route's by default. Any other needs Traefik's
	// allowCrossNamespace or, with Gateway API, a ReferenceGrant.
	Namespace Namespace `json:"namespace,omitempty"`
	// Replicas of the canary: a number, or a share of stable's that grows with the weight.
	Replicas Amount `json:"replicas,omitempty"`
}

// ServiceSpec is a Kubernetes Service.
type ServiceSpec struct {
	// Name of the Service.
	Name ServiceName `json:"name"`
	// Port is its number or name.
	Port Port `json:"port"`
	// Scheme of the pods; http by default, https for port 443.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https,enum=h2c"`
	// NativeLB leaves the choice among the pods to Kubernetes.
	NativeLB *bool `json:"nativeLB,omitempty"`
	// BalancingSpec is how Traefik talks to the pods.
	BalancingSpec
	// FurtherPorts of the Service that routes of the release lead to. All of them move together.
	FurtherPorts []FurtherPortSpec `json:"furtherPorts,omitempty" jsonschema:"minItems=1"`
}

// ServersPortSpec is one more port of an arm's servers.
type ServersPortSpec struct {
	// Name of the port, the same for both arms; routes refer to it.
	Name Name `json:"name"`
	// Servers are base addresses at this port.
	Servers []Server `json:"servers" jsonschema:"minItems=1"`
	// BalancingSpec is how Traefik talks to the servers at this port.
	BalancingSpec
	// HealthCheck of the servers at this port.
	HealthCheck *HealthCheckSpec `json:"healthCheck,omitempty"`
}

// FurtherPortSpec is one more port of a Service.
type FurtherPortSpec struct {
	// Port is its number or name.
	Port Port `json:"port"`
	// Scheme of the pods at this port; http by default, https for port 443.
	Scheme string `json:"scheme,omitempty" jsonschema:"enum=http,enum=https,enum=h2c"`
	// NativeLB leaves the choice among the pods to Kubernetes.
	NativeLB *bool `json:"nativeLB,omitempty"`
	// BalancingSpec is how Traefik talks to the pods at this port.
	BalancingSpec
}

// RollbackSpec is how a release goes back.
type RollbackSpec struct {
	// Drain is the time between moving all traffic to stable and cleaning up.
	Drain *Duration `json:"drain,omitempty"`
	// Deadline of the whole rollback; after it the release has failed, with traffic on stable.
	Deadline *Duration `json:"deadline,omitempty"`
	// Steps of your own during cleanup.
	Steps []RollbackStepSpec `json:"steps,omitempty"`
}

// RollbackStepSpec is a step of the cleanup: a map with exactly one key.
type RollbackStepSpec struct {
	// Job runs a Kubernetes Job.
	Job *JobSpec `json:"job,omitempty"`
	// Webhook notifies another system, whatever it answers.
	Webhook *WebhookSpec `json:"webhook,omitempty"`
}

// TriggerSpec starts a release automatically.
type TriggerSpec struct {
	// Deployment whose new pod template starts a release.
	Deployment ObjectName `json:"deployment,omitempty"`
	// StatefulSet, in place of a Deployment.
	StatefulSet ObjectName `json:"statefulSet,omitempty"`
	// Namespace of it; the arms' by default.
	Namespace Namespace `json:"namespace,omitempty"`
}

package config

// Variable is a name that may stand in ${…}, with its explanation for people.
type Variable struct {
	Name string
	// Servers, Cluster and Workers say where it is known: if the arms are lists of servers, on Kubernetes, and if pods divide
	// a worker's work.
	Servers, Cluster, Workers bool
	// Becomes says what takes its place.
	Becomes string
}

// ArmVariables returns those that tell the arms apart in an analysis, in addition to the rollout's parameters. In a query
// they stand inside label values, and are escaped for PromQL.
func ArmVariables() []Variable {
	return []Variable{
		{varService, true, true, false, "the arm's service as the gateway's metrics name it: `shop-canary@file`, `pro-shop-canary-80@kubernetescrd`"},
		{varInstances, true, false, false, "host and port of each of the arm's servers, as a pattern for `=~`"},
		{varHosts, true, false, false, "the hosts of the arm's servers, as a pattern for `=~`, where metrics come from another port"},
		{varPods, false, true, true, "the names of the arm's pods, as a pattern for `=~`"},
		{varVersion, false, true, true, "the label `app.kubernetes.io/version` of the arm's pods, else the tag of their first image"},
		{varArm, false, true, true, "`canary` or `stable`, the part that the Deployment plays"},
	}
}

// ReleaseVariables stand for the release in a webhook's address and body, unless the rollout has parameters of these names.
// Values are escaped for the address, and for the inside of a JSON string.
func ReleaseVariables() []Variable {
	return []Variable{
		{"rollout", true, true, true, "the rollout's name"},
		{"release", true, true, true, "the release's ID"},
		{"revision", true, true, true, "the revision of the rollout that the release was started with"},
		{"step", true, true, true, "the step's name"},
		{"version", true, true, true, "what is released, as pages name it: its parameters, or its images"},
		{"reason", true, true, true, "why it was started, or why it goes back"},
	}
}

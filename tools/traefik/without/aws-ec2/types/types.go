// Package types has the types of package ec2.
package types

type (
	InstanceStateName string
	InstanceState     struct{ Name InstanceStateName }
	Reservation       struct{ Instances []Instance }
	Instance          struct {
		InstanceId, PrivateIpAddress *string
		State                        *InstanceState
	}
)

const InstanceStateNameRunning InstanceStateName = "running"

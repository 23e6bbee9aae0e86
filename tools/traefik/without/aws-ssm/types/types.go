// Package types has the types of package ssm.
package types

type (
	InstanceInformation             struct{ InstanceId, IPAddress *string }
	InstanceInformationStringFilter struct {
		Key    *string
		Values []string
	}
)

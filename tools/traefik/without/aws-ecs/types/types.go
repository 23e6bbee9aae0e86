// Package types has the types of package ecs.
package types

type (
	DesiredStatus     string
	HealthStatus      string
	NetworkMode       string
	TransportProtocol string
	Attachment        struct{}
	ContainerInstance struct{ ContainerInstanceArn, Ec2InstanceId *string }
	NetworkBinding    struct {
		HostPort, ContainerPort *int32
		Protocol                TransportProtocol
	}
	PortMapping struct {
		HostPort, ContainerPort *int32
		Protocol                TransportProtocol
	}
	NetworkInterface struct{ PrivateIpv4Address, Ipv6Address *string }
	Container        struct {
		Name              *string
		NetworkBindings   []NetworkBinding
		NetworkInterfaces []NetworkInterface
	}
	Task struct {
		TaskArn, ContainerInstanceArn, LastStatus, Group, TaskDefinitionArn *string

		HealthStatus HealthStatus
		Containers   []Container
		Attachments  []Attachment
	}
	ContainerDefinition struct {
		Name         *string
		PortMappings []PortMapping
		DockerLabels map[string]string
	}
	TaskDefinition struct {
		ContainerDefinitions []ContainerDefinition
		NetworkMode          NetworkMode
	}
)

const (
	DesiredStatusRunning  DesiredStatus     = "RUNNING"
	HealthStatusHealthy   HealthStatus      = "HEALTHY"
	HealthStatusUnhealthy HealthStatus      = "UNHEALTHY"
	NetworkModeAwsvpc     NetworkMode       = "awsvpc"
	TransportProtocolTcp  TransportProtocol = "tcp"
	TransportProtocolUdp  TransportProtocol = "udp"
)

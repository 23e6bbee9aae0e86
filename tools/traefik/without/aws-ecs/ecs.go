// Package ecs stands in for the AWS SDK's: it has what Traefik's provider ecs names, and finds nothing. See
// tools/README.md in Serin's repository.
package ecs

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

type (
	Client                struct{}
	ListClustersInput     struct{}
	ListClustersOutput    struct{ ClusterArns []string }
	ListClustersPaginator struct{}
	ListTasksInput        struct {
		Cluster       *string
		DesiredStatus types.DesiredStatus
	}
	ListTasksOutput    struct{ TaskArns []string }
	ListTasksPaginator struct{}
	DescribeTasksInput struct {
		Cluster *string
		Tasks   []string
	}
	DescribeTasksOutput             struct{ Tasks []types.Task }
	DescribeContainerInstancesInput struct {
		Cluster            *string
		ContainerInstances []string
	}
	DescribeContainerInstancesOutput struct{ ContainerInstances []types.ContainerInstance }
	DescribeTaskDefinitionInput      struct{ TaskDefinition *string }
	DescribeTaskDefinitionOutput     struct{ TaskDefinition *types.TaskDefinition }
)

func NewFromConfig(aws.Config) *Client { return &Client{} }

func NewListClustersPaginator(*Client, *ListClustersInput) *ListClustersPaginator {
	return &ListClustersPaginator{}
}

func (*ListClustersPaginator) HasMorePages() bool { return false }

func (*ListClustersPaginator) NextPage(context.Context) (*ListClustersOutput, error) {
	return &ListClustersOutput{}, nil
}

func NewListTasksPaginator(*Client, *ListTasksInput) *ListTasksPaginator {
	return &ListTasksPaginator{}
}

func (*ListTasksPaginator) HasMorePages() bool { return false }

func (*ListTasksPaginator) NextPage(context.Context) (*ListTasksOutput, error) {
	return &ListTasksOutput{}, nil
}

func (*Client) DescribeTasks(context.Context, *DescribeTasksInput) (*DescribeTasksOutput, error) {
	return &DescribeTasksOutput{}, nil
}

func (*Client) DescribeContainerInstances(context.Context, *DescribeContainerInstancesInput) (*DescribeContainerInstancesOutput, error) {
	return &DescribeContainerInstancesOutput{}, nil
}

func (*Client) DescribeTaskDefinition(context.Context, *DescribeTaskDefinitionInput) (*DescribeTaskDefinitionOutput, error) {
	return &DescribeTaskDefinitionOutput{}, nil
}

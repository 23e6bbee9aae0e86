// Package ssm stands in for the AWS SDK's: it has what Traefik's provider ecs names, and finds nothing. See
// tools/README.md in Serin's repository.
package ssm

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

type (
	Client                           struct{}
	DescribeInstanceInformationInput struct {
		Filters []types.InstanceInformationStringFilter
	}
	DescribeInstanceInformationOutput    struct{ InstanceInformationList []types.InstanceInformation }
	DescribeInstanceInformationPaginator struct{}
)

func NewFromConfig(aws.Config) *Client { return &Client{} }

func NewDescribeInstanceInformationPaginator(*Client, *DescribeInstanceInformationInput) *DescribeInstanceInformationPaginator {
	return &DescribeInstanceInformationPaginator{}
}

func (*DescribeInstanceInformationPaginator) HasMorePages() bool { return false }

func (*DescribeInstanceInformationPaginator) NextPage(context.Context) (*DescribeInstanceInformationOutput, error) {
	return &DescribeInstanceInformationOutput{}, nil
}

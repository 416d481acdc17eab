# A Kaizen sandbox on Fargate in your VPC: private subnets, no public address, reachable from the agent's security group only,
# allowed to call one model and to read its own two secrets.

data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  name      = "kaizen-sandbox-${var.agent_name}"
  log_group = "/kaizen/sandbox/${var.agent_name}"
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
}

data "aws_iam_policy_document" "log_key" {
  statement {
    sid       = "Owner"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"]
    }
  }
}

resource "aws_kms_key" "log" {
  description         = "Encrypts the sandbox's log."
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.log_key.json
}

resource "aws_cloudwatch_log_group" "sandbox" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.log.arn
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    resources = [var.repository_arn]
  }
  statement {
    sid       = "SignIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.token_secret_arn, var.api_key_secret_arn]
  }
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.sandbox.arn}:*"]
  }
}

resource "aws_iam_role" "execution" {
  name_prefix        = "kaizen-start-"
  description        = "Starts the task; pulls this image, reads these two secrets, writes this log."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.start.json
}

data "aws_iam_policy_document" "ask" {
  statement {
    sid       = "Converse"
    actions   = ["bedrock:InvokeModel"]
    resources = [var.model_arn]
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "kaizen-sandbox-"
  description        = "What the sandbox itself may do; ask one model."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "task" {
  name   = "ask-one-model"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.ask.json
}

resource "aws_security_group" "sandbox" {
  name_prefix = "kaizen-sandbox-"
  description = "Kaizen sandbox, from the agent only"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "agent" {
  for_each                     = { egress = 8080, traces = 8081 }
  security_group_id            = aws_security_group.sandbox.id
  referenced_security_group_id = var.agent_security_group_id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "out" {
  security_group_id = aws_security_group.sandbox.id
  description       = "the agent's traffic, the model, the control plane"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_ecs_cluster" "sandbox" {
  name = local.name
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "sandbox" {
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  volume {
    name = "data"
  }
  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([
    {
      name                   = "sandbox"
      image                  = var.image
      essential              = true
      command                = ["sandbox"]
      user                   = "10001"
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
      mountPoints = [
        { sourceVolume = "data", containerPath = "/var/lib/kaizen", readOnly = false },
        { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      ]
      portMappings = [{ containerPort = 8080, protocol = "tcp" }, { containerPort = 8081, protocol = "tcp" }]
      environment = [
        { name = "KZ_AGENT", value = var.agent_name },
        { name = "KZ_DECLARATION", value = jsonencode(var.declaration) },
        { name = "KZ_MODE", value = var.mode },
        { name = "KZ_MODEL_BACKEND", value = "bedrock" },
        { name = "KZ_MODEL", value = var.model_id },
        { name = "AWS_REGION", value = local.region },
        { name = "KAIZEN_API_URL", value = var.api_url },
      ]
      secrets = [
        { name = "KZ_TOKEN", valueFrom = var.token_secret_arn },
        { name = "KAIZEN_API_KEY", valueFrom = var.api_key_secret_arn },
      ]
      healthCheck = {
        command = ["CMD", "python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8081/healthz', timeout=2)"]
        interval = 10, timeout = 3, retries = 3, startPeriod = 20
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.sandbox.name
          "awslogs-region"        = local.region
          "awslogs-stream-prefix" = "sandbox"
        }
      }
    }
  ])
}

resource "aws_service_discovery_private_dns_namespace" "sandbox" {
  name = "${var.agent_name}.kaizen.internal"
  vpc  = var.vpc_id
}

resource "aws_service_discovery_service" "sandbox" {
  name = "sandbox"
  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.sandbox.id
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

resource "aws_ecs_service" "sandbox" {
  name                   = local.name
  cluster                = aws_ecs_cluster.sandbox.id
  task_definition        = aws_ecs_task_definition.sandbox.arn
  launch_type            = "FARGATE"
  desired_count          = 1
  enable_execute_command = false

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.sandbox.id]
    assign_public_ip = false
  }
  service_registries {
    registry_arn = aws_service_discovery_service.sandbox.arn
  }
}

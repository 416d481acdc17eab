variable "vpc_id" {
  type        = string
  description = "The VPC of the agent."
}

variable "private_subnet_ids" {
  type        = list(string)
  description = "Subnets without a route to an internet gateway; the agent's traffic leaves by their NAT gateway."
}

variable "agent_security_group_id" {
  type        = string
  description = "Whoever has this group may reach the sandbox, and nobody else."
}

variable "image" {
  type        = string
  description = "The image, pinned by digest."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image must end with @sha256: and its digest."
  }
}

variable "repository_arn" {
  type        = string
  description = "The ECR repository that holds the image."
}

variable "agent_name" {
  type        = string
  default     = "agent"
  description = "Whose sandbox it is."
  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,128}$", var.agent_name))
    error_message = "The name must have 1 to 128 letters, digits, dots, underscores or hyphens."
  }
}

variable "declaration" {
  type        = any
  description = "What the agent is for (docs/how-to/sandbox.md)."
}

variable "model_id" {
  type        = string
  description = "The one model that the reasoning check may ask."
}

variable "model_arn" {
  type        = string
  description = "Its ARN, or that of its inference profile."
  validation {
    condition     = can(regex(":(foundation-model|inference-profile)/[^*]+$", var.model_arn))
    error_message = "One model, no wildcard."
  }
}

variable "token_secret_arn" {
  type        = string
  description = "A secret that is the sandbox's token (at least 20 characters), nothing else."
}

variable "api_key_secret_arn" {
  type        = string
  description = "A secret that is an API key of scope observer, nothing else."
}

variable "api_url" {
  type        = string
  description = "The control plane."
  validation {
    condition     = startswith(var.api_url, "https://")
    error_message = "The control plane is reached over https."
  }
}

variable "mode" {
  type        = string
  default     = "observe"
  description = "observe or enforce."
  validation {
    condition     = contains(["observe", "enforce"], var.mode)
    error_message = "observe or enforce."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 365
  description = "Days that the log is kept."
}
